import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { sync, write } from '../files/durableFiles.js'
import { documentCutoff } from './encode.js'
import type { ResolvedData } from './options.js'
import { packGreedily } from './pack.js'
import { type ShardDocument, shardBytes, shardName } from './shard.js'

/** A shard is written when it has this many tokens, 64 MB; that bounds memory. */
const shardTokens = 2 ** 24

export interface PackedTotals {
  shards: number
  packs: number
  documents: number
  tokens: number
  trainedTokens: number
  /** Bytes of each shard. */
  shardSizes: number[]
  /** Documents by length: position n counts those of 2^n to 2^(n + 1) − 1 tokens. */
  lengths: number[]
}

/** Packs documents as they come and writes shards, with memory for a batch of documents and a shard. */
export class PackWriter {
  readonly totals: PackedTotals = {
    shards: 0,
    packs: 0,
    documents: 0,
    tokens: 0,
    trainedTokens: 0,
    shardSizes: [],
    lengths: [],
  }
  private batch: ShardDocument[] = []
  private documents: ShardDocument[] = []
  private packs: number[][] = []
  private tokens = 0

  constructor(
    private readonly directory: string,
    private readonly options: Pick<ResolvedData, 'packing' | 'packingBatch' | 'cutoffLength'>,
    private readonly fullShard = shardTokens,
  ) {}

  async add(document: ShardDocument): Promise<void> {
    this.batch.push(document)
    if (this.batch.length === this.options.packingBatch) await this.packBatch()
  }

  async end(): Promise<PackedTotals> {
    await this.packBatch()
    await this.writeShard()
    return this.totals
  }

  private async packBatch(): Promise<void> {
    const documents = this.batch
    this.batch = []
    const lengths = documents.map(({ tokens }) => tokens.length)
    const packs =
      this.options.packing === 'none' ? lengths.map((_, i) => [i]) : packGreedily(lengths, documentCutoff(this.options))
    for (const pack of packs) await this.addPack(pack.map((i) => documents[i] as ShardDocument))
  }

  private async addPack(documents: ShardDocument[]): Promise<void> {
    this.packs.push(documents.map((_, i) => this.documents.length + i))
    this.documents.push(...documents)
    for (const { tokens, spans } of documents) {
      this.tokens += tokens.length
      this.count(tokens.length, spans)
    }
    this.totals.packs++
    if (this.tokens >= this.fullShard) await this.writeShard()
  }

  private count(length: number, spans: readonly number[]): void {
    const { totals } = this
    const bin = Math.floor(Math.log2(length))
    while (totals.lengths.length <= bin) totals.lengths.push(0)
    totals.lengths[bin] = (totals.lengths[bin] as number) + 1
    totals.documents++
    totals.tokens += length
    for (const [i, bound] of spans.entries()) totals.trainedTokens += i % 2 === 0 ? -bound : bound
  }

  private async writeShard(): Promise<void> {
    if (this.packs.length === 0) return
    const path = join(this.directory, shardName(this.totals.shards++))
    const bytes = shardBytes(this.documents, this.packs)
    this.documents = []
    this.packs = []
    this.tokens = 0
    await write(path, () => writeFile(path, bytes, { flag: 'wx' }))
    await sync(path)
    this.totals.shardSizes.push(bytes.length)
  }
}
