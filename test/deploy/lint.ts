/** `npm run lint:deploy`: every linter over every file of deploy/ that is its business. */
import { relative } from 'node:path'
import { linters } from './linters.ts'
import { repository, requireTools } from './tools.ts'

try {
  requireTools()
  process.exitCode = lintAll() === 0 ? 0 : 1
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
}

/** How many checks found something. */
function lintAll(): number {
  const checks = linters.flatMap(linter => linter.files.map(file => ({ linter, file })))
  const bad = checks.filter(({ linter, file }) => {
    const problem = linter.check(file)
    console.log(`${problem === null ? 'good' : 'BAD '}  ${linter.name}: ${relative(repository, file)}`)
    if (problem !== null) console.log(problem)
    return problem !== null
  })
  console.log(`${checks.length} checks, ${bad.length} bad`)
  return bad.length
}
