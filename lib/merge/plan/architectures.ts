import type { ModelConfig } from '../../checkpoint/readConfig.js'
import { BranchMergeError } from '../../errors.js'

/**
 * That all models whose configuration tells one have the same architecture: weights of equal shapes mean something else in
 * another.
 *
 * @throws ERR_ARCHITECTURE_MISMATCH naming each
 */
export function refuseOtherArchitectures(models: readonly { label: string; config: ModelConfig | undefined }[]): void {
  const known = models.filter(({ config }) => config?.architecture !== undefined)
  if (new Set(known.map(({ config }) => config?.architecture)).size < 2) return
  const found = known.map(({ label, config }) => `${config?.architecture} in ${label}`).join(', ')
  throw new BranchMergeError(
    'ERR_ARCHITECTURE_MISMATCH',
    `Expected one architecture in config.json but it is ${found}. Where you know that the weights mean the same, ` +
      'allow it with architectures: any (--architectures any).',
  )
}
