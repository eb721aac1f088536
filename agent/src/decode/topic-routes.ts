/**
 * Which payload format a topic carries, and what the topic itself says: `sensors/{device}/{metric}`.
 *
 * A pattern has as many levels as the topics it matches; `{device}` and `{metric}` stand for one whole level each, `+` for any,
 * everything else for itself. Routes are tried in their order.
 */
import { TributaryError } from '@tributary/shared/errors'
import type { Address } from './format.ts'

export interface TopicRoute {
  /** `sensors/{device}/{metric}` */
  readonly topic: string
  /** Name of a format. */
  readonly format: string
}

/** Tried after the configured ones. */
export const defaultRoutes: readonly TopicRoute[] = [
  { topic: 'sensors/{device}/{metric}', format: 'json' },
  { topic: 'sensors/{device}', format: 'json' },
]

export interface CompiledRoute {
  readonly format: string
  match(levels: readonly string[]): Address | null
}

/** @throws config when the pattern cannot be used */
export function compileRoute(route: TopicRoute): CompiledRoute {
  const pattern = route.topic.split('/')
  const device = pattern.indexOf('{device}')
  const metric = pattern.indexOf('{metric}')
  const strange = pattern.find(level => /[{}#+]/.test(level) && !['{device}', '{metric}', '+'].includes(level))
  const twice = pattern.lastIndexOf('{device}') !== device || pattern.lastIndexOf('{metric}') !== metric
  if (device < 0 || strange !== undefined || twice) {
    throw new TributaryError('config', `topic pattern "${route.topic}" cannot be used`, {
      hint: 'Write levels separated by /, with {device} once, {metric} at most once, and + for any level: plant/+/{device}/{metric}.',
    })
  }
  return {
    format: route.format,
    match(levels) {
      if (levels.length !== pattern.length) return null
      for (let i = 0; i < pattern.length; i++) {
        const open = i === device || i === metric || pattern[i] === '+'
        if (!open && levels[i] !== pattern[i]) return null
      }
      return { device: levels[device]!, metric: metric < 0 ? null : levels[metric]! }
    },
  }
}
