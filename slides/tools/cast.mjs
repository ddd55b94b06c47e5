// The demos' recordings, docs/casts/NAME.LANGUAGE.cast (asciicast 2).
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const castFile = (name, language = 'zh-TW') => fileURLToPath(new URL(`../../docs/casts/${name}.${language}.cast`, import.meta.url))

function events(name, language) {
  const [, ...lines] = readFileSync(castFile(name, language), 'utf8').trimEnd().split('\n')
  return lines.map(line => JSON.parse(line))
}

/** The seconds that a demo takes; undefined if it has not been recorded. */
export function castSeconds(name, language = 'zh-TW') {
  return existsSync(castFile(name, language)) ? events(name, language).at(-1)[0] : undefined
}

/** A demo as its teller has it: its title, and what is said before which commands. */
export function told(name, language) {
  const printed = events(name, language).filter(([, kind]) => kind === 'o').map(([,, text]) => text).join('')
  // eslint-disable-next-line no-control-regex
  const lines = printed.replace(/\x1B\[[0-9;?]*[A-Za-z]|\r/g, '').split('\n').map(line => line.trimEnd())
  const story = { title: lines.find(Boolean), steps: [] }
  for (const [i, line] of lines.entries()) {
    const last = story.steps.at(-1)
    if (line.startsWith('# '))
      story.steps.push({ say: line.slice(2), commands: [] })
    else if (line.startsWith('$ ') && last)
      last.commands.push(line.slice(2))
    else if (/[|\\]$/.test(lines[i - 1] ?? '') && last?.commands.at(-1)?.endsWith(lines[i - 1].trim().replace(/^\$ /, '')))
      last.commands.push(`${last.commands.pop()}\n${line}`)
  }
  return story
}
