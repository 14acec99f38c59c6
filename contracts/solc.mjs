#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// The compiler of the npm package `solc`, in the words that forge expects of a native one: `--version`, and standard
// JSON from standard input to standard output. forge sends the text of every source, so nothing is read.

import { readFileSync } from "node:fs";
import solc from "solc";

if (process.argv.includes("--version")) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version().replace(".Emscripten.clang", ".Linux.g++")}`);
} else {
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
}
