/**
 * The agent's buffer as shipped, for the bench `wear`: groups of messages, each committed before the next is given. Every message
 * brings its receipt, by which a redelivery is recognised. `node bench/servers/agent-wear.ts FOLDER COMMITS READINGS` prints the bytes.
 */
import { openBuffer } from '../../agent/src/buffer/sqlite-buffer.ts'
import { fleetMessages } from '../load/fleet-messages.ts'
import { writtenBytes } from '../load/written-bytes.ts'

const [folder, commits, perCommit] = process.argv.slice(2)
// The window of 0 and the group's size make a group one commit.
const buffer = await openBuffer({
  folder: folder!,
  agentId: () => null,
  windowMs: 0,
  maxGroupReadings: Number(perCommit),
  ballastBytes: 0,
})
const before = writtenBytes()
for (const group of fleetMessages(Number(commits), Number(perCommit))) {
  await Promise.all(
    group.map(({ device, metric, unit, tsUs, value, packetId, digest }) => {
      const readings = [{ series: { device, metric, unit }, tsUs, value, quality: 0 as const }]
      const receipt = { scope: `mqtt1:${device}`, id: packetId, digest }
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      buffer.accept({ readings, deadLetter: null, receipt, maybeDuplicate: false }, error =>
        error === null ? resolve() : reject(error),
      )
      return promise
    }),
  )
}
await buffer.close()
console.log(JSON.stringify({ writtenBytes: writtenBytes() - before }))
