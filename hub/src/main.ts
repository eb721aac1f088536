/** The hub's program: command line in, exit code out. */
import { processIo, runProgram } from '@tributary/shared/cli'
import { program } from './cli/program.ts'

process.exitCode = await runProgram(program, process.argv.slice(2), processIo())
