// Three projects: `unit` needs npm packages only; `system` needs Debian programs (strace, socat, …), `services` real services (Kafka,
// Debian's Postgres); both say which are missing.
import { defineConfig } from 'vitest/config'

const everywhere = {
  exclude: ['**/node_modules/**', '.tributary/**'],
  testTimeout: 30_000,
  hookTimeout: 60_000,
  expect: { poll: { timeout: 10_000 } },
  globalSetup: ['hub/src/database/vitest-postgres.ts'],
}

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...everywhere,
          name: 'unit',
          include: ['**/*.test.ts'],
          exclude: [...everywhere.exclude, '**/*.system.test.ts', '**/*.services.test.ts'],
        },
      },
      {
        test: {
          ...everywhere,
          name: 'system',
          include: ['**/*.system.test.ts'],
          // A demo is five programs and a Postgres.
          fileParallelism: false,
          maxConcurrency: 3,
        },
      },
      {
        test: {
          ...everywhere,
          name: 'services',
          include: ['**/*.services.test.ts'],
          globalSetup: [...everywhere.globalSetup, 'test/services/vitest-kafka.ts'],
          // Brokers are JVMs.
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
