// SPDX-License-Identifier: Apache-2.0
// Compiles the registry and holds the result against artifact/AttestationRegistry.json, byte for byte.
//
//   node build.mjs           exit code 1 where they differ
//   node build.mjs --write   writes it
//
// Reads this folder and node_modules in it, and asks no network. The bytecode has no metadata and no path in it, so it
// is the same on every machine.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const FOLDER = dirname(fileURLToPath(import.meta.url));
const ARTIFACT = join(FOLDER, "artifact", "AttestationRegistry.json");
const SOURCE = "src/AttestationRegistry.sol";
const NAME = "AttestationRegistry";
const SETTINGS = {
  evmVersion: "paris", // no PUSH0, MCOPY: for every chain that there is
  optimizer: { enabled: true, runs: 10000 },
  metadata: { appendCBOR: false, bytecodeHash: "none" },
};

/** The file that an import names: ours, or one of a package. */
function read(name) {
  const path = name.startsWith("@") ? join(FOLDER, "node_modules", name) : join(FOLDER, name);
  return existsSync(path) ? { contents: readFileSync(path, "utf8") } : { error: `no file ${name}` };
}

function compile() {
  const outputSelection = { [SOURCE]: { [NAME]: ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } };
  const input = {
    language: "Solidity",
    sources: { [SOURCE]: { content: read(SOURCE).contents } },
    settings: { ...SETTINGS, outputSelection },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
  const isOurs = ({ severity, sourceLocation }) => severity === "error" || !sourceLocation?.file.startsWith("@");
  const messages = (output.errors ?? []).filter(isOurs);
  for (const message of messages) console.error(message.formattedMessage);
  if (messages.length > 0) process.exit(1); // a warning in our sources too
  const { abi, evm } = output.contracts[SOURCE][NAME];
  return {
    contractName: NAME,
    sourceName: SOURCE,
    compiler: solc.version(),
    settings: SETTINGS,
    abi,
    bytecode: `0x${evm.bytecode.object}`,
    deployedBytecode: `0x${evm.deployedBytecode.object}`,
  };
}

const text = `${JSON.stringify(compile(), null, 2)}\n`;
if (process.argv.includes("--write")) {
  writeFileSync(ARTIFACT, text);
} else if (!existsSync(ARTIFACT) || readFileSync(ARTIFACT, "utf8") !== text) {
  console.error("contracts/artifact/AttestationRegistry.json is not what these sources compile to: make contracts WRITE=1");
  process.exit(1);
}
