#!/usr/bin/env node
// Plain JavaScript for any Node: finds a Node that runs TypeScript (24 or newer) and re-executes the program with it.
import { runWithShippedNode } from '@tributary/shared/bin/run.js'

runWithShippedNode(new URL('../src/main.ts', import.meta.url))
