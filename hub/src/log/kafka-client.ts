/** How Kafka is reached: brokers, TLS, login, and what the client says. */
import { readFileSync } from 'node:fs'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import type { Kafka, KafkaConfig, logLevel } from 'kafkajs'
import { kafkajs } from './kafkajs.ts'

export interface KafkaClientOptions {
  /** `host:port`; one that answers is enough. */
  readonly brokers: readonly string[]
  readonly tls: {
    /** Who signs the brokers' certificates, PEM; null: who Node trusts. */
    readonly caFile: string | null
    /** For brokers that ask for a client certificate. */
    readonly certFile: string | null
    readonly keyFile: string | null
  } | null
  readonly sasl: {
    readonly mechanism: 'scram-sha-256' | 'scram-sha-512'
    readonly username: string
    readonly password: string
  } | null
  /** A request that is not answered for this long is sent again. Default 30,000. */
  readonly requestTimeoutMs?: number
  /** What kafkajs warns of and tries again. */
  readonly onWarning?: (message: string) => void
}

export function kafkaClient({ brokers, tls, sasl, requestTimeoutMs = 30_000, onWarning }: KafkaClientOptions): Kafka {
  const config: KafkaConfig = {
    clientId: 'tributary-hub',
    brokers: [...brokers],
    connectionTimeout: 3000,
    requestTimeout: requestTimeoutMs,
    // A wait is capped, so that a broker that is back is found within seconds; about 15 s in all before it gives up.
    retry: { initialRetryTime: 100, maxRetryTime: 2000, retries: 10 },
    ...(tls && { ssl: tlsOptions(tls) }),
    ...(sasl && { sasl: saslOptions(sasl) }),
    logLevel: kafkajs.logLevel.WARN,
    logCreator: logTo(onWarning ?? (() => undefined)),
  }
  return new kafkajs.Kafka(config)
}

function tlsOptions({ caFile, certFile, keyFile }: NonNullable<KafkaClientOptions['tls']>) {
  return {
    ...(caFile !== null && { ca: readPem('kafka.tls.ca_file', caFile) }),
    ...(certFile !== null && { cert: readPem('kafka.tls.cert_file', certFile) }),
    ...(keyFile !== null && { key: readPem('kafka.tls.key_file', keyFile) }),
  }
}

function saslOptions({ mechanism, username, password }: NonNullable<KafkaClientOptions['sasl']>) {
  return mechanism === 'scram-sha-256' ? { mechanism, username, password } : { mechanism, username, password }
}

/** The first line of a file: a password is never in the configuration itself. */
export function readPassword(file: string): string {
  return readFile('kafka.sasl.password_file', file).split('\n')[0] ?? ''
}

function readPem(key: string, file: string): string {
  return readFile(key, file)
}

function readFile(key: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new TributaryError('config', `${key}: ${file} cannot be read (${(cause as NodeJS.ErrnoException).code})`, {
      cause,
      hint: 'Name a file that the hub may read',
    })
  }
}

/** Messages alone: what kafkajs adds to them is its own inside. */
function logTo(warn: (message: string) => void) {
  return (_level: logLevel) => {
    return ({ log }: { log: { message: string; error?: unknown } }) => {
      const detail = log.error === undefined || log.error === log.message ? '' : `: ${messageOf(log.error)}`
      warn(`${log.message}${detail}`)
    }
  }
}

/** What went wrong at Kafka, as `unavailable` unless a person has to look at it. */
export function kafkaError(what: string, error: unknown): TributaryError {
  if (error instanceof TributaryError) return error
  const cause = rootCause(error)
  const { name, type } = cause as { name?: string; type?: string }
  if (name === 'KafkaJSSASLAuthenticationError' || type?.endsWith('AUTHORIZATION_FAILED') === true)
    return new TributaryError('config', `${what}: ${messageOf(cause)}`, {
      cause: error,
      hint: "Check kafka.sasl, and the access rights of its user at the brokers (topics, group, cluster's DescribeConfigs)",
    })
  if (type === 'MESSAGE_TOO_LARGE')
    return new TributaryError('too-large', `${what}: ${messageOf(cause)}`, {
      cause: error,
      hint: "Raise the topic's max.message.bytes",
    })
  return new TributaryError('unavailable', `${what}: ${messageOf(cause)}`, { cause: error, retryAfterS: 5 })
}

/** kafkajs wraps what it gave up on. */
function rootCause(error: unknown): unknown {
  let cause = error
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause
  return cause
}
