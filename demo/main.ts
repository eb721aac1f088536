/** `npm run demo`: a machine's temperature, from a simulated device to a marked curve on a page. See demo.ts for what happens. */
import { processIo, runProgram } from '@tributary/shared/cli'
import { demoCommand } from './demo-command.ts'

const io = processIo()
const stop = new AbortController()
io.signal.addEventListener('abort', () => stop.abort(io.signal.reason))
// The terminal was closed. What is written from then on goes nowhere, and must not end the stop half way.
process.on('SIGHUP', () => stop.abort('SIGHUP'))
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)

const program = { name: 'npm run', version: '', summary: '', commands: [demoCommand] }
process.exitCode = await runProgram(program, ['demo', ...process.argv.slice(2)], { ...io, signal: stop.signal })
