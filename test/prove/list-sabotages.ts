/** One line a sabotage, `PROOF KIND`, for the gate that runs each of them. */
import { proofs } from './proofs.ts'

for (const { name, sabotages } of proofs) for (const kind of sabotages) console.log(`${name} ${kind}`)
