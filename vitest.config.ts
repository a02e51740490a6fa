import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // A process of its own for each file: tests set environment variables, send signals and load the addon.
    pool: 'forks',
    globalSetup: 'test/support/buildDist.ts',
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
