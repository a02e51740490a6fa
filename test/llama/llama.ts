import { getLlama, type Llama, type LlamaLogLevel } from 'node-llama-cpp'

/** llama.cpp on the CPU, as test/setup.sh installed it: nothing is downloaded or built. Whoever calls this disposes of it. */
export const startLlama = (logLevel: 'error' | 'disabled' = 'error'): Promise<Llama> =>
  getLlama({ gpu: false, build: 'never', skipDownload: true, logLevel: logLevel as LlamaLogLevel })

/** What llama.cpp makes of a GGUF file. */
export interface LlamaReading {
  /** By position, then token. */
  logits: Float64Array[]
  /** Ids of a text, special tokens read as such. */
  tokenize: (text: string) => number[]
  chatTemplate: string | undefined
}

/** Loads the file with an F32 cache, on one thread, and evaluates the tokens; `use` gets what came out. */
export async function readWithLlama<T>(
  path: string,
  tokens: readonly number[],
  use: (reading: LlamaReading) => T,
): Promise<T> {
  const llama = await startLlama()
  try {
    const model = await llama.loadModel({ modelPath: path, gpuLayers: 0, useMmap: false })
    const context = await model.createContext({
      contextSize: 256,
      threads: 1,
      flashAttention: false,
      experimentalKvCacheKeyType: 'F32',
      experimentalKvCacheValueType: 'F32',
    })
    const sequence = context.getSequence()
    const evaluated = await sequence.controlledEvaluate(
      tokens.map((token) => [token as never, { generateNext: { logits: true } }]),
    )
    const logits = evaluated.map((each) => {
      const found = each?.next.logits
      if (!found) throw new Error('llama.cpp gave no logits')
      const row = new Float64Array(found.size)
      for (const [token, logit] of found) row[token] = logit
      return row
    })
    const { chatTemplate } = model.fileInfo.metadata.tokenizer as unknown as { chat_template?: string } & {
      chatTemplate?: string
    }
    return use({
      logits,
      tokenize: (text) => model.tokenize(text, true) as unknown as number[],
      chatTemplate: chatTemplate ?? model.fileInfo.metadata.tokenizer.chat_template,
    })
  } finally {
    await llama.dispose()
  }
}
