import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { openServerEngine } from '../../../lib/engines/server/serverEngine.js'
import { beginEvents, ScriptedServer, streamOf, withProbe } from '../../support/scriptedServer.js'

// fetch gives up after 300 s without a head. Only time shows that nothing here does.
test('320 s without a byte', async () => {
  const server = await ScriptedServer.start(
    withProbe(async (_, response) => {
      await sleep(320_000)
      beginEvents(response)
      response.end(streamOf(['late']))
    }),
  )
  const settings = {
    addresses: [{ name: server.url, url: new URL(server.url), headers: {}, secrets: [] }],
    model: undefined,
    api: 'chat' as const,
    renderer: undefined,
    concurrency: 1,
    requestsPerMinute: undefined,
    tokensPerMinute: undefined,
    attempts: 1,
    timeouts: { connect: 10_000, firstByte: 0, idle: 600_000, total: 7_200_000 },
    down: 600_000,
  }
  const engine = await openServerEngine(settings, undefined)
  try {
    const prompt = { messages: [{ role: 'user' as const, content: 'What is 1 + 1?' }] }
    const sampling = {
      temperature: 0.6,
      topP: 0.95,
      topK: 0,
      minP: 0,
      repetitionPenalty: 1,
      presencePenalty: 0,
      frequencyPenalty: 0,
      maxTokens: 32768,
      stop: [],
    }
    expect(await engine.generate({ prompt, sampling, seed: 17 })).toMatchObject({ text: 'late', attempts: 1 })
  } finally {
    await engine.close()
    await server.stop()
  }
})
