// Plain JavaScript for any Node: finds a Node that runs TypeScript (24 or newer) and runs the demo with it.
import { runWithShippedNode } from '../shared/bin/run.js'

runWithShippedNode(new URL('./main.ts', import.meta.url))
