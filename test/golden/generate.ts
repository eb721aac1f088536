/** `node test/golden/generate.ts`: write the golden files of vectors.ts beside this program. */
import { writeFileSync } from 'node:fs'
import { encodeBatch, encodeContent } from '@tributary/shared/batch/codec'
import { goldenFiles, toJson } from './golden.ts'
import { vectors } from './vectors.ts'

for (const [name, batch] of Object.entries(vectors)) {
  writeFileSync(goldenFiles.content(name), encodeContent(batch))
  writeFileSync(goldenFiles.body(name), encodeBatch(batch))
  writeFileSync(goldenFiles.json(name), `${JSON.stringify(toJson(batch))}\n`)
}
