/** What TRIBUTARY_SABOTAGE can break in the agent; see @tributary/shared/sabotage. */
export const sabotages = ['ack-before-commit', 'fsync-off', 'no-dup-check', 'no-ledger', 'wall-stamps'] as const
export type SabotageName = (typeof sabotages)[number]
