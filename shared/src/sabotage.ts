/** Promises broken on purpose by TRIBUTARY_SABOTAGE, so that a proof can show that it would notice. Never set it elsewhere. */
import { TributaryError } from './errors.ts'

/** The comma-separated words of the variable. Throws `config` for one that is not in `known`. */
export function readSabotage<Name extends string>(env: NodeJS.ProcessEnv, known: readonly Name[]): ReadonlySet<Name> {
  const words = (env.TRIBUTARY_SABOTAGE ?? '').split(',').map(word => word.trim())
  return new Set(words.filter(word => word !== '').map(word => named(word, known)))
}

function named<Name extends string>(word: string, known: readonly Name[]): Name {
  const name = known.find(one => one === word)
  if (name !== undefined) return name
  throw new TributaryError('config', `TRIBUTARY_SABOTAGE names \`${word}\`; known: ${known.join(', ')}`)
}
