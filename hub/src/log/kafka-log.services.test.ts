import { eventLogSuite } from './event-log.suite.ts'
import { openTestKafkaLog } from './test-kafka-log.ts'

eventLogSuite('kafka', openTestKafkaLog)
