import { eventLogSuite } from './event-log.suite.ts'
import { exactlyOnceSuite } from './exactly-once.suite.ts'
import { openTestKafkaLog } from './test-kafka-log.ts'

eventLogSuite('kafka', openTestKafkaLog)

exactlyOnceSuite('kafka', async () => {
  const under = await openTestKafkaLog({ partitions: 1 })
  return {
    log: under.log,
    lose: () => under.lose(),
    truncate: offset => under.truncate(0, offset),
    [Symbol.asyncDispose]: () => under[Symbol.asyncDispose](),
  }
})
