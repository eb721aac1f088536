/** Cycles of a proof in rounds of 50, each with folders of its own. Finished rounds are kept: `--resume` goes on after them. */
import type { ProofContext } from './proof.ts'

const cyclesPerRound = 50

export async function inRounds<Round extends { readonly cycles: number }>(
  { values, resume }: ProofContext,
  runRound: (index: number, cycles: number) => Promise<Round>,
): Promise<Round[]> {
  const wanted = Number(values.cycles)
  const rounds = (resume.load() ?? []) as Round[]
  let done = rounds.reduce((cycles, round) => cycles + round.cycles, 0)
  while (done < wanted) {
    const round = await runRound(rounds.length, Math.min(cyclesPerRound, wanted - done))
    rounds.push(round)
    done += round.cycles
    resume.save(rounds)
  }
  return rounds
}

type Countable<Round> = { [K in keyof Round]: Round[K] extends number ? K : never }[keyof Round]

export function sum<Round>(rounds: readonly Round[], what: Countable<Round>): number {
  return rounds.reduce((total, round) => total + (round[what] as number), 0)
}

/** The counts of all, name by name. */
export function total(records: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const result: Record<string, number> = {}
  for (const record of records) {
    for (const [key, count] of Object.entries(record)) result[key] = (result[key] ?? 0) + count
  }
  return result
}
