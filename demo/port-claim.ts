/**
 * A well-known port that is a demo's for as long as it runs, also while the agent behind it is down for a second: whoever claims it
 * holds the same port at another loopback address, where only demos look.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'

const address = '127.77.0.1'

/** Null when another demo has it. Where there is no such address (macOS) nothing is held, and the claim is only a wish. */
export async function claimPort(port: number): Promise<AsyncDisposable | null> {
  const server = createServer().listen(port, address)
  try {
    await once(server, 'listening')
  } catch (error) {
    const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
    return taken ? null : { [Symbol.asyncDispose]: async () => undefined }
  }
  return server
}
