/** The agent's program: command line in, exit code out. */
import { processIo, runProgram } from '@tributary/shared/cli'
import { program } from './cli/program.ts'

/** After the last word of the program, what still keeps the process alive is ended. */
const lingerMs = 500

process.exitCode = await runProgram(program, process.argv.slice(2), processIo())
setTimeout(() => process.exit(), lingerMs).unref()
