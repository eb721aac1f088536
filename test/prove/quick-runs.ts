/** One line a run for the gate: each proof with its short options, then with each of its sabotages. */
import { proofs } from './proofs.ts'

for (const { name, quick, sabotages } of proofs) {
  console.log([name, ...quick].join(' '))
  for (const kind of sabotages) console.log([name, ...quick, '--sabotage', kind].join(' '))
}
