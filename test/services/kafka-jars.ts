/**
 * Apache Kafka's jars from Maven Central, by the ordinary client: kafka-jars/pom.xml says what is wanted, Maven where it is.
 *
 * The folder is whole or absent. Every jar must be on the list kafka-jars/sha256, with that digest, and every one of the list must
 * be there. The list is made anew with: (cd .tributary/kafka-… && sha256sum *.jar) > test/services/kafka-jars/sha256
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { messageOf, TributaryError } from '@tributary/shared/errors'
import { repository } from '../harness/program.ts'
import { requireProgram } from '../system/requirements.ts'

export const kafkaVersion = '4.3.1'
export const log4jConfig = join(import.meta.dirname, 'kafka-jars/log4j2.properties')

const plugin = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1'
const folder = join(repository, `.tributary/kafka-${kafkaVersion}`)

/** The folder of the jars, fetched if it is not there. Throws `unavailable` when Maven cannot, `corrupt` for other jars than listed. */
export async function kafkaJars(report: (step: string) => void): Promise<string> {
  if (existsSync(folder)) return folder
  const maven = requireProgram('mvn')
  report(`fetching Kafka ${kafkaVersion} with Maven (45 MB, once)`)
  const fresh = `${folder}.${process.pid}.new`
  const repositoryOfMaven = `${folder}.${process.pid}.maven`
  mkdirSync(fresh, { recursive: true })
  try {
    await fetchJars(maven, repositoryOfMaven, fresh)
    checkJars(fresh)
    renameSync(fresh, folder)
  } catch (error) {
    if (!existsSync(folder)) throw error // else another process was faster, and its folder is as good
  } finally {
    for (const left of [fresh, repositoryOfMaven]) rmSync(left, { recursive: true, force: true })
  }
  return folder
}

/** With a repository of its own, gone afterwards: an account without a home has no place for Maven's usual one. */
async function fetchJars(maven: string, local: string, into: string): Promise<void> {
  const pom = join(import.meta.dirname, 'kafka-jars/pom.xml')
  const goal = [`${plugin}:copy-dependencies`, '-DincludeScope=runtime', `-DoutputDirectory=${into}`]
  try {
    await promisify(execFile)(maven, ['-q', '-B', `-Dmaven.repo.local=${local}`, '-f', pom, ...goal])
  } catch (error) {
    const said = (error as { stdout?: string }).stdout?.trim().split('\n')[0] ?? messageOf(error)
    throw new TributaryError('unavailable', `Maven cannot fetch Kafka ${kafkaVersion}: ${said}`, {
      cause: error,
      hint: 'Is Maven Central (or the mirror in ~/.m2/settings.xml) reachable from here?',
    })
  }
}

function checkJars(jars: string): void {
  const lines = readFileSync(join(import.meta.dirname, 'kafka-jars/sha256'), 'utf8')
    .trim()
    .split('\n')
  const wanted = new Map(lines.map(line => [line.slice(66), line.slice(0, 64)]))
  for (const name of new Set([...wanted.keys(), ...readdirSync(jars)])) {
    const file = join(jars, name)
    const found = existsSync(file) ? createHash('sha256').update(readFileSync(file)).digest('hex') : 'missing'
    if (found === wanted.get(name)) continue
    throw new TributaryError(
      'corrupt',
      `${name} is ${found}, kafka-jars/sha256 wants ${wanted.get(name) ?? 'no such jar'}`,
      {
        hint: 'Do not use it: find out where the jar comes from (a mirror? a changed pom?)',
      },
    )
  }
}
