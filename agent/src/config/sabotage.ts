/**
 * What TRIBUTARY_SABOTAGE can break in the agent; see @tributary/shared/sabotage. `keep-epoch` breaks no promise: it goes on under the
 * epoch that it finds, as a machine does whose memory was cloned or restored together with its disk.
 */
export const sabotages = [
  'ack-before-commit',
  'fsync-off',
  'no-dup-check',
  'no-ledger',
  'wall-stamps',
  'ignore-settled',
  'keep-epoch',
] as const
export type SabotageName = (typeof sabotages)[number]
