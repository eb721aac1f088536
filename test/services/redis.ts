/** Debian's Redis on loopback; what it holds is fsynced every second. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { requireProgram } from '../system/requirements.ts'
import { findDaemon, startDaemon, stopDaemon } from './daemon.ts'
import type { Service, ServiceStatus } from './service.ts'

export interface RedisOptions {
  readonly folder: string
  readonly port: number
}

export class RedisService implements Service {
  readonly name = 'redis'
  readonly programs = ['redis-server']
  private readonly options: RedisOptions

  constructor(options: RedisOptions) {
    this.options = options
  }

  async start(report: (step: string) => void): Promise<void> {
    const { folder, port } = this.options
    const command = requireProgram('redis-server')
    mkdirSync(folder, { recursive: true })
    const config = join(folder, 'redis.conf')
    writeFileSync(config, `bind 127.0.0.1\nport ${port}\ndir .\nappendonly yes\nmaxmemory 64mb\nsave ""\n`)
    if (findDaemon(folder) === null) report('starting Redis')
    await startDaemon({ name: 'Redis', folder, command, args: [config], ports: [port], isReady: () => pings(port) })
  }

  async stop(): Promise<void> {
    await stopDaemon(this.options.folder)
  }

  status(): ServiceStatus {
    const { folder, port } = this.options
    const pid = findDaemon(folder)
    return {
      name: this.name,
      running: pid !== null,
      pids: pid === null ? [] : [pid],
      ports: { redis: port },
      folder,
      address: `redis://127.0.0.1:${port}`,
    }
  }
}

/** While it still loads its file it answers `-LOADING`. */
async function pings(port: number): Promise<boolean> {
  return await new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    socket.once('error', reject)
    socket.once('data', answer => {
      socket.destroy()
      resolve(answer.toString().startsWith('+PONG'))
    })
  })
}
