/**
 * `lite`: the default detector. Four streams over three views catch spikes, steps, drift and loss of rhythm; it knows nothing of
 * the time of day. About 1.9 KB of state a series. Each view sees another kind of anomaly (ratios, small levels, deviations to
 * both sides), so the score is the maximum of the streams and never their sum.
 */
import type { DetectorSpec } from './detector-spec.ts'

export const lite: DetectorSpec = {
  name: 'lite',
  streams: [
    { kind: 'average', view: 'R', fast: 1, slow: 100 },
    { kind: 'average', view: 'G', fast: 40, slow: 400 },
    { kind: 'jump', view: 'G' },
    { kind: 'average', view: 'A', fast: 10, slow: 400 },
  ],
}
