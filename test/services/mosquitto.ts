/** Debian's Mosquitto on loopback, open to everybody there; it keeps what it owes over its own restarts. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { requireProgram } from '../system/requirements.ts'
import { findDaemon, startDaemon, stopDaemon } from './daemon.ts'
import type { Service, ServiceStatus } from './service.ts'

export interface MosquittoOptions {
  readonly folder: string
  readonly port: number
}

export class MosquittoService implements Service {
  readonly name = 'mosquitto'
  readonly programs = ['mosquitto']
  private readonly options: MosquittoOptions

  constructor(options: MosquittoOptions) {
    this.options = options
  }

  async start(report: (step: string) => void): Promise<void> {
    const { folder, port } = this.options
    const command = requireProgram('mosquitto')
    mkdirSync(folder, { recursive: true })
    const config = join(folder, 'mosquitto.conf')
    // `user`: started by root it would otherwise become an account that may not enter this folder.
    writeFileSync(
      config,
      `user ${userInfo().username}\nlistener ${port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location ${folder}/\n`,
    )
    if (findDaemon(folder) === null) report('starting Mosquitto')
    const isReady = async () => {
      const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 }, false)
      await client.endAsync()
      return true
    }
    await startDaemon({ name: 'Mosquitto', folder, command, args: ['-c', config], ports: [port], isReady })
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
      ports: { mqtt: port },
      folder,
      address: `mqtt://127.0.0.1:${port}`,
    }
  }
}
