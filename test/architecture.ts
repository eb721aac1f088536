/**
 * `npm run check` runs this: imports point one way, and never in a circle.
 *
 * Each package is a house of floors. A file imports values only from a lower floor or from its own folder; on its own floor, and
 * from a stage above, it may name another stage's interface by `import type`. Packages import `shared` and nothing else of each
 * other. Tests, suites and generators may reach anywhere, but not in a circle either.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')

/** Top floor first; a name is a folder or file of the package's `src`. */
const floors: Record<string, readonly (readonly string[])[]> = {
  agent: [
    ['main.ts'],
    ['cli'],
    ['agent.ts'],
    ['uplink', 'sources'],
    ['decode', 'buffer', 'health'],
    ['config', 'identity'],
    ['time', 'aggregate'],
  ],
  hub: [
    ['main.ts'],
    ['cli'],
    ['hub.ts'],
    ['http'],
    ['ingest', 'store', 'detect', 'export', 'console'],
    ['devices', 'auth', 'query', 'alerts', 'log'],
    ['database', 'config'],
  ],
  'firmware-sim': [['main.ts'], ['cli'], ['devices'], ['faults', 'record', 'transports'], ['signals']],
}

/** `shared` is pure: of Node it may use what computes, not what reads or writes. */
const pureModules = new Set(['node:buffer', 'node:crypto', 'node:timers/promises', 'node:util', 'node:zlib'])

interface Import {
  readonly from: string
  readonly specifier: string
  readonly typeOnly: boolean
}

const packages = ['shared', 'agent', 'hub', 'firmware-sim']
const files = [...packages, 'test', 'bench', 'demo'].flatMap(sources)
const known = new Set(files)
const problems: string[] = []
const edges = new Map<string, string[]>()

for (const file of files) {
  const values: string[] = []
  for (const found of importsOf(file)) {
    const target = resolveImport(found)
    if (target === null) checkExternal(found)
    else if (target.endsWith('/package.json')) continue
    else {
      checkDirection(found, target)
      if (!found.typeOnly) values.push(target)
    }
  }
  edges.set(file, values)
}
for (const cycle of cycles()) problems.push(`circle of imports: ${cycle.map(name).join(' → ')}`)

for (const problem of problems) console.error(problem)
console.error(`architecture: ${files.length} files, ${problems.length} problems`)
process.exitCode = problems.length > 0 ? 1 : 0

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && /\.[jt]s$/.test(entry.name) && !entry.parentPath.includes('node_modules'))
    .map(entry => join(entry.parentPath, entry.name))
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, 'utf8')
  const statement = /^\s*(?:import|export)\s+(type\s+)?(?:[^'"`;]*?\sfrom\s+)?'([^']+)'|\bimport\('([^']+)'\)/gm
  return [...text.matchAll(statement)].map(m => ({
    from: file,
    specifier: (m[2] ?? m[3])!,
    typeOnly: m[1] !== undefined,
  }))
}

function resolveImport({ from, specifier }: Import): string | null {
  if (specifier.startsWith('.')) {
    const target = resolve(dirname(from), specifier)
    if (!known.has(target) && !target.endsWith('.json')) problems.push(`${name(from)}: ${specifier} is not a file`)
    return target
  }
  const inWorkspace = /^@tributary\/([^/]+)\/(.+)$/.exec(specifier)
  if (inWorkspace === null) return null
  const [, pkg, path] = inWorkspace
  return path!.endsWith('.js') ? join(root, pkg!, path!) : join(root, pkg!, 'src', `${path}.ts`)
}

function checkExternal({ from, specifier }: Import): void {
  if (packageOf(from) !== 'shared' || isTest(from) || from.endsWith('.js')) return
  if (specifier.startsWith('node:') && !pureModules.has(specifier))
    problems.push(`${name(from)}: shared is pure and may not import ${specifier}`)
}

function checkDirection({ from, typeOnly }: Import, target: string): void {
  const [source, destination] = [packageOf(from), packageOf(target)]
  if (isTest(from) || !packages.includes(source)) return
  if (source !== destination) {
    if (destination !== 'shared') problems.push(`${name(from)} imports ${name(target)}: packages share only "shared"`)
    return
  }
  const house = floors[source]
  if (house === undefined || typeOnly) return
  const [here, there] = [stageOf(from), stageOf(target)]
  if (here === there || here === 'bin') return
  const [hereFloor, thereFloor] = [floorOf(house, here), floorOf(house, there)]
  if (hereFloor < 0) problems.push(`${name(from)}: "${here}" stands on no floor of ${source}`)
  else if (thereFloor <= hereFloor)
    problems.push(`${name(from)} imports ${name(target)}: ${here} does not stand above ${there}`)
}

function floorOf(house: readonly (readonly string[])[], stage: string): number {
  return house.findIndex(floor => floor.includes(stage))
}

/** The folder or file directly under the package's `src`. */
function stageOf(file: string): string {
  const [, area, stage] = relative(root, file).split('/')
  return area === 'src' ? stage! : area!
}

function packageOf(file: string): string {
  return relative(root, file).split('/')[0]!
}

function isTest(file: string): boolean {
  return /\.(test|suite|golden)\.ts$/.test(file) || /\/(vitest-[^/]*|test-[^/]*)\.ts$/.test(file)
}

function name(file: string): string {
  return relative(root, file)
}

/** Depth-first search; each circle is reported once, from its first file. */
function cycles(): string[][] {
  const found: string[][] = []
  const done = new Set<string>()
  const path: string[] = []
  const visit = (file: string): void => {
    const at = path.indexOf(file)
    if (at >= 0) found.push([...path.slice(at), file])
    if (at >= 0 || done.has(file)) return
    path.push(file)
    for (const next of edges.get(file) ?? []) visit(next)
    path.pop()
    done.add(file)
  }
  for (const file of files) visit(file)
  return found
}
