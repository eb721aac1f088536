/** `firmware-sim replay FILE.csv`: a recording, played by one device. */
import { basename, extname } from 'node:path'
import { type Command, UsageError } from '@tributary/shared/cli'
import { createReplay, replayTimes } from '../devices/replay.ts'
import { choiceOption, faultsOption, speedOption, textOption } from './option-values.ts'
import { playOptions, runPlay } from './run-play.ts'

export const replayCommand: Command = {
  name: 'replay',
  summary: 'play a recording: a CSV file with a header timestamp,value or timestamp,name,name…',
  positionals: 'FILE',
  options: {
    device: { type: 'string', value: 'NAME', help: "the device's name; default the file's" },
    metric: {
      type: 'string',
      value: 'NAME',
      help: "the metric's name, for a file with one column; default the column's",
    },
    unit: { type: 'string', value: 'UNIT', default: '', help: 'unit of every column' },
    times: {
      type: 'string',
      value: 'HOW',
      default: 'shift',
      help: 'shift: the last reading is now; start: the first is now; now: when sent; keep',
    },
    speed: {
      type: 'string',
      value: 'N',
      default: '1',
      help: 'how much faster than recorded; max: as fast as acknowledged',
    },
    seed: { type: 'string', value: 'TEXT', default: '1', help: 'of the faults' },
    ...playOptions,
  },
  examples: [
    'firmware-sim replay firmware-sim/data/machine_temperature_system_failure.csv --device press-1 --metric temperature --speed max',
    'firmware-sim replay recording.csv --times now --speed 60',
    'firmware-sim replay recording.csv --times keep --speed max --serial /tmp/tty-press --framing lines',
  ],
  async run(context) {
    const { values, positionals, signal } = context
    const [path, ...more] = positionals
    if (path === undefined || more.length > 0)
      throw new UsageError('unprocessable', 'replay takes one file', { hint: 'firmware-sim replay FILE.csv' })
    const metric = textOption(values, 'metric')
    const replay = {
      path,
      device: textOption(values, 'device') ?? basename(path, extname(path)),
      unit: textOption(values, 'unit') ?? '',
      times: choiceOption(values, 'times', replayTimes),
      speed: speedOption(values),
      seed: textOption(values, 'seed') ?? '',
      faults: faultsOption(values),
      clock: () => Date.now() * 1000,
      signal,
      ...(metric !== undefined && { metric }),
    }
    return runPlay(context, truth => createReplay({ ...replay, truth }))
  },
}
