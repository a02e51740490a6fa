/**
 * How often a test tries what happens at random: `all` times, or once for each kind of moment (`quick`) when
 * BRANCHMERGE_TEST_QUICK=1, as test/run.sh has it without --all.
 */
export const rounds = ({ all, quick }: { all: number; quick: number }): number =>
  process.env.BRANCHMERGE_TEST_QUICK === '1' ? quick : all
