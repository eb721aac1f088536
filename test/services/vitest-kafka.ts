/** One broker for the whole run of `npm run test:services`: `inject('tributaryKafka')` is its address. Each test has its own topics. */
import type { TestProject } from 'vitest/node'
import { startTestKafka } from './test-kafka.ts'

declare module 'vitest' {
  interface ProvidedContext {
    tributaryKafka: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const kafka = await startTestKafka()
  project.provide('tributaryKafka', kafka.service.brokers[0] ?? '')
  return async () => await kafka[Symbol.asyncDispose]()
}
