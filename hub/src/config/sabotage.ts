/** What TRIBUTARY_SABOTAGE can break in the hub; see @tributary/shared/sabotage. */
export const sabotages = ['ack-before-commit', 'no-identity-check', 'offset-only-skip', 'no-conflict-check'] as const
export type SabotageName = (typeof sabotages)[number]
