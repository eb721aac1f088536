/**
 * A program beside the hub (Kafka, Postgres, Redis, Mosquitto) on loopback, with ports and a folder of its own.
 *
 * `start` resolves when it answers in its own protocol, and does nothing when it runs already; `stop` ends what `start` started, by
 * pid. Data survives both. Everything a service has is below its folder.
 */
export interface ServiceStatus {
  readonly name: string
  readonly running: boolean
  readonly pids: readonly number[]
  /** What it serves → TCP port on 127.0.0.1. */
  readonly ports: Readonly<Record<string, number>>
  readonly folder: string
  /** What a client is given: `127.0.0.1:19092`, `postgres://…`. A password is named by its file, never shown. */
  readonly address: string
}

export interface Service {
  readonly name: string
  /** Debian programs that it needs. */
  readonly programs: readonly string[]
  start(report: (step: string) => void): Promise<void>
  stop(): Promise<void>
  status(): ServiceStatus
}
