import { expect, test } from 'vitest'
import { testDatabase } from '../database/test-database.ts'
import { consuming, RecordingConsumer, until } from './event-log.suite.ts'
import { topics } from './event-log.ts'
import { PostgresLog } from './postgres-log.ts'
import { refuseUndrained } from './undrained.ts'

test('a log in Postgres that a group has not finished holds back the move to Kafka; one that is done does not', async () => {
  await using database = await testDatabase({ connections: 8 })
  await refuseUndrained(database)
  const log = await PostgresLog.open(database, { partitions: 1, pollMs: 20, leaseMs: 1000 })
  await log.append(topics.batches, 'key', Buffer.from('first'))
  const consumer = new RecordingConsumer()
  const first = consuming(log, consumer)
  await until(() => consumer.seen.length === 1)
  await first.stop()
  await refuseUndrained(database)
  await log.append(topics.batches, 'key', Buffer.from('second'))
  await expect(refuseUndrained(database)).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('test 1'),
    hint: expect.stringContaining('without the section `kafka`'),
  })
  const second = consuming(log, consumer)
  await until(() => consumer.seen.length >= 2)
  await second.stop()
  await refuseUndrained(database)
  await log.close()
})
