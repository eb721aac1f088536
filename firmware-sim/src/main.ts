/** The command line of the simulator; see cli/. */
import { type Program, processIo, runProgram } from '@tributary/shared/cli'
import manifest from '../package.json' with { type: 'json' }
import { fleetCommand } from './cli/fleet.ts'
import { replayCommand } from './cli/replay.ts'

const program: Program = {
  name: 'firmware-sim',
  version: manifest.version,
  summary: 'plays the devices: recorded and synthetic sensors over MQTT and serial, with faults and ground truth',
  commands: [fleetCommand, replayCommand],
}

process.exitCode = await runProgram(program, process.argv.slice(2), processIo())
