/** Promises broken on purpose by TRIBUTARY_SABOTAGE, so that a proof can show that it would notice. Never set it elsewhere. */
import { TributaryError } from '@tributary/shared/errors'

export const sabotages = ['ack-before-commit', 'no-identity-check', 'offset-only-skip'] as const
export type SabotageName = (typeof sabotages)[number]

/** A comma-separated list. Throws `config` for a word that is none. */
export function readSabotage(env: NodeJS.ProcessEnv): ReadonlySet<SabotageName> {
  const words = (env.TRIBUTARY_SABOTAGE ?? '')
    .split(',')
    .map(word => word.trim())
    .filter(word => word !== '')
  return new Set(
    words.map(word => {
      const known = sabotages.find(name => name === word)
      if (known === undefined) {
        throw new TributaryError('config', `TRIBUTARY_SABOTAGE names \`${word}\`; known: ${sabotages.join(', ')}`)
      }
      return known
    }),
  )
}
