import { presets } from '../fusion/presets.js'
import { methods, parameterOf } from './methods.js'
import type { NodeParameters } from './resolvedRecipe.js'
import type { Setting } from './setting.js'

type Mutable = Record<string, NodeParameters[string]>

/** What a node's parameters are before anyone says anything. Parameters without a default are absent. */
export function defaultParameters(node: Parameters<typeof withSettings>[0]): NodeParameters {
  const values: Mutable = {}
  for (const [name, parameter] of Object.entries(methods[node.method].parameters)) {
    if (parameter.default !== undefined) set(values, name, parameter.default, node)
  }
  return values
}

/**
 * Parameters with settings laid over them; names that the method does not have are passed over. A preset of fuse replaces
 * all choices below it, then the choices beside it apply.
 */
export function withSettings(
  node: { method: keyof typeof methods; inputs: readonly unknown[] },
  below: NodeParameters,
  settings: Readonly<Record<string, Setting>>,
): NodeParameters {
  const values: Mutable = { ...below }
  const preset = node.method === 'fuse' ? ownSetting(settings, 'preset') : undefined
  if (typeof preset === 'string') Object.assign(values, presets[preset as keyof typeof presets])
  for (const [name, setting] of Object.entries(settings)) {
    if (parameterOf(node.method, name)) set(values, name, setting, node)
  }
  return values
}

function ownSetting(settings: Readonly<Record<string, Setting>>, name: string): Setting | undefined {
  return Object.hasOwn(settings, name) ? settings[name] : undefined
}

function set(
  values: Mutable,
  name: string,
  setting: Setting,
  { method, inputs }: Parameters<typeof withSettings>[0],
): void {
  if (!parameterOf(method, name)?.perInput) {
    values[name] = setting
    return
  }
  const below = values[name]
  values[name] = inputs.map((_, i) => {
    const own = Array.isArray(setting) ? setting[i] : (setting as number)
    return own ?? (Array.isArray(below) ? below[i] : undefined) ?? null
  })
}
