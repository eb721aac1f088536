/** What a proof is: a program that tries to break one promise, and says by figures whether the promise held. */
import type { CommandOption } from '@tributary/shared/cli'

export interface Target {
  readonly name: string
  /** As people write it: `= 0`, `≥ 1000`, `≤ 2 s`. */
  readonly bound: string
  readonly value: number | string | boolean
  readonly met: boolean
}

export interface ProofContext {
  readonly values: Readonly<Record<string, string | undefined>>
  /** One of the proof's `sabotages`, or undefined for an honest run. */
  readonly sabotage: string | undefined
  /** Every random choice derives from it: the same seed gives the same schedule. */
  readonly seed: number
  progress(text: string): void
  /**
   * State kept between runs of the same proof, options and seed (`--resume`): `load` gives what `save` stored last, or null.
   * `save` is atomic; a proof that was cut off goes on from there.
   */
  readonly resume: { load(): unknown; save(state: unknown): void }
  readonly signal: AbortSignal
}

export interface ProofResult {
  /** Correctness: the promise held in every cycle. Speed belongs to `targets`. */
  readonly ok: boolean
  readonly figures: Readonly<Record<string, unknown>>
  readonly targets: readonly Target[]
}

export interface Proof {
  readonly name: string
  readonly summary: string
  readonly options: Readonly<Record<string, CommandOption>>
  /** Options of a short run, as the gate makes it. */
  readonly quick: readonly string[]
  /** Ways to break the product on purpose: with each of them `ok` must come out false. */
  readonly sabotages: readonly string[]
  run(context: ProofContext): Promise<ProofResult>
}

/** A target of a number, worded from its parts. */
export function target(
  name: string,
  value: number,
  comparison: '=' | '≥' | '≤' | '>' | '<',
  bound: number,
  unit = '',
): Target {
  const met = {
    '=': value === bound,
    '≥': value >= bound,
    '≤': value <= bound,
    '>': value > bound,
    '<': value < bound,
  }[comparison]
  return { name, bound: `${comparison} ${bound}${unit && ` ${unit}`}`, value, met }
}
