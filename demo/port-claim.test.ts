import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { freePort } from '../test/harness/stack.ts'
import { claimPort } from './port-claim.ts'

test('a port is claimed once, until it is given back, and stays free for its program', async () => {
  const port = await freePort()
  {
    await using claim = await claimPort(port)
    expect(claim).not.toBeNull()
    if (process.platform === 'linux') expect(await claimPort(port)).toBeNull()
    await using program = createServer().listen(port, '127.0.0.1')
    await new Promise((resolve, reject) => program.once('listening', resolve).once('error', reject))
  }
  await using again = await claimPort(port)
  expect(again).not.toBeNull()
})
