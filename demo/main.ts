/** `npm run demo`: a machine's temperature, from a simulated device to a marked curve on a page. See demo.ts for what happens. */
import { processIo, runProgram } from '@tributary/shared/cli'
import { createDemoCommand } from './demo-command.ts'

/** npm and the shell may pass one Ctrl-C on twice. */
const oneSignalMs = 500

/** After the last word, what still keeps the process alive is ended. */
const lingerMs = 500

const io = processIo()
const stop = new AbortController()
const atOnce = new AbortController()
io.signal.addEventListener('abort', () => stop.abort(io.signal.reason))
// `npm run demo | head`: nobody looks any more.
process.stdout.on('error', () => stop.abort('stdout'))

let firstMs: number | null = null
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(name, () => {
    firstMs ??= performance.now()
    if (performance.now() - firstMs > oneSignalMs) atOnce.abort()
  })

const program = { name: 'npm run', version: '', summary: '', commands: [createDemoCommand(atOnce.signal)] }
process.exitCode = await runProgram(program, ['demo', ...process.argv.slice(2)], { ...io, signal: stop.signal })
setTimeout(() => process.exit(), lingerMs).unref()
