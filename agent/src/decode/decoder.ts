/**
 * From what a source heard to readings, or to the reason for a dead letter. Pure but for its caches.
 *
 * A topic that matches no route, a payload over `maxPayloadBytes` and a payload that its format refuses are failures, never
 * exceptions; one payload's failure leaves no trace on the next.
 *
 * Bounds: `maxTopics` topics are remembered with their route; the names of series as in series-names.ts.
 */
import { TributaryError } from '@tributary/shared/errors'
import { nearest } from '@tributary/shared/nearest'
import type { Address, Decoded, DecodeFailure, Format } from './format.ts'
import { json, jsonLine } from './json.ts'
import { SeriesNames } from './series-names.ts'
import { compileRoute, defaultRoutes, type TopicRoute } from './topic-routes.ts'

export interface Decoder {
  /** An MQTT payload. */
  topic(topic: string, payload: Buffer, receivedAtUs: number): Decoded | DecodeFailure
  /** A line of a serial port; `device` is the port's own, where the line names none. */
  line(device: string | null, line: Buffer, receivedAtUs: number): Decoded | DecodeFailure
}

export interface DecoderOptions {
  /** Tried in their order, before `defaultRoutes`. */
  readonly routes: readonly TopicRoute[]
  /** Longer payloads are not looked at. */
  readonly maxPayloadBytes: number
}

const formats: readonly Format[] = [json, jsonLine]

/** What a route may name. */
export const formatNames: readonly string[] = formats.map(format => format.name)

const maxTopics = 10_000

interface Destination {
  readonly format: Format
  readonly address: Address
}

/** @throws config when a route cannot be used */
export function createDecoder({ routes, maxPayloadBytes }: DecoderOptions): Decoder {
  const compiled = [...routes, ...defaultRoutes].map(route => ({
    ...compileRoute(route),
    format: formatNamed(route.format),
  }))
  const destinations = new Map<string, Destination | null>()
  const names = new SeriesNames()

  function destinationOf(topic: string): Destination | null {
    const known = destinations.get(topic)
    if (known !== undefined) return known
    const levels = topic.split('/')
    let found: Destination | null = null
    for (const { format, match } of compiled) {
      const address = match(levels)
      if (address === null) continue
      found = { format, address }
      break
    }
    if (destinations.size >= maxTopics) destinations.clear()
    destinations.set(topic, found)
    return found
  }

  function decode(format: Format, address: Address, payload: Buffer, receivedAtUs: number): Decoded | DecodeFailure {
    if (payload.length > maxPayloadBytes)
      return { reason: `payload of ${payload.length} bytes; at most ${maxPayloadBytes} are decoded` }
    return format.decode(address, payload, receivedAtUs, names)
  }

  return {
    topic(topic, payload, receivedAtUs) {
      const destination = destinationOf(topic)
      return destination === null
        ? { reason: 'unmapped topic' }
        : decode(destination.format, destination.address, payload, receivedAtUs)
    },
    line: (device, line, receivedAtUs) => decode(jsonLine, { device, metric: null }, line, receivedAtUs),
  }
}

function formatNamed(name: string): Format {
  const format = formats.find(candidate => candidate.name === name)
  if (format !== undefined) return format
  const close = nearest(name, formatNames)
  throw new TributaryError(
    'config',
    `no payload format \`${name}\`${close === null ? '' : `; did you mean \`${close}\`?`}`,
    {
      hint: `Known formats: ${formatNames.join(', ')}.`,
    },
  )
}
