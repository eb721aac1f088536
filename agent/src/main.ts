/**
 * The agent's program: command line in, exit code out.
 *
 * Node strips the types of every module at every start unless it may keep the result: that costs 25 MB in each thread and most of
 * a second on a small machine. So the result is kept, in a folder of this user alone (NODE_COMPILE_CACHE names another one); a
 * cache that cannot be written is done without, as is one of a user without a home.
 */
import { enableCompileCache, flushCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** After the last word of the program, what still keeps the process alive is ended. */
const lingerMs = 500

const { env } = process
const cache = env.NODE_COMPILE_CACHE ?? cacheFolder()
if (cache !== null) {
  env.NODE_COMPILE_CACHE = cache // also for the buffer's writer thread, which reads the variable
  enableCompileCache(cache)
}
const { processIo, runProgram } = await import('@tributary/shared/cli')
const { program } = await import('./cli/program.ts')
// At once, not at the exit: an agent may be killed.
flushCompileCache()

process.exitCode = await runProgram(program, process.argv.slice(2), processIo())
setTimeout(() => process.exit(), lingerMs).unref()

function cacheFolder(): string | null {
  if (env.XDG_CACHE_HOME) return join(env.XDG_CACHE_HOME, 'tributary-agent')
  try {
    return join(homedir(), '.cache', 'tributary-agent')
  } catch {
    return null // no HOME, and no line in /etc/passwd
  }
}
