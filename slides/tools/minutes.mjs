// How long the talk and the course take, part by part, into docs/teaching.md and its translation.
//   node tools/minutes.mjs          writes the tables
//   node tools/minutes.mjs --check  are they as written? Does the talk fit? Does each slide have minutes?
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { LONGEST, SHORTEST, clock } from './cut.mjs'
import { ROOT, source } from './deck.mjs'

const MARK = /(<!-- minutes: by scripts\/slides minutes -->\n)[^]*?(<!-- end of minutes -->)/
/** Not for the clock. */
const APPENDIX = '附錄'
const ENGLISH = {
  開場: 'opening',
  還沒有CNI的節點: 'no CNI yet',
  CNI規範: 'the specification',
  '第一章：基礎CNI外掛': 'chapter 1',
  '第二章：TC與eBPF': 'chapter 2',
  '第三章：身分決定封包的去留': 'chapter 3: why identities',
  '第三章：動手做': 'chapter 3: the code',
  封包不見了: 'where is my packet',
  總結: 'the end',
  '附錄：第四章': 'appendix: chapter 4',
  附錄: 'appendix',
}
const WORDS = {
  en: {
    file: 'teaching.md',
    head: '| part | talk: slides | minutes | course: slides | minutes |',
    all: 'all',
    part: name => ENGLISH[name.replaceAll(' ', '')] ?? problem(`tools/minutes.mjs has no English for the part ${name}`),
    rest: (demos, optional) => `Of the course's minutes, ${demos} are demos, and ${optional} are slides that may be left out.`,
  },
  'zh-TW': {
    file: 'teaching.zh-TW.md',
    head: '| 部分 | 演講：張數 | 分鐘 | 課程：張數 | 分鐘 |',
    all: '合計',
    part: name => name,
    rest: (demos, optional) => `課程的分鐘數裡，示範佔 ${demos} 分鐘，可以略過的投影片佔 ${optional} 分鐘。`,
  },
}

const problems = []
const problem = what => problems.push(what) && what
const sum = (slides, of = slide => slide.seconds) => slides.reduce((total, slide) => total + of(slide), 0)
const minutes = slides => +(sum(slides) / 60).toFixed(1)

const [course, talk] = [await source('course'), await source('talk')] // one after the other: the parser has one preparser
const parts = [...new Set([...course, ...talk].map(slide => slide.frontmatter.part))]

function table({ head, all, part, rest }) {
  const row = (name, talk, course) =>
    `| ${name} | ${talk.length || '–'} | ${talk.length ? clock(sum(talk)) : '–'} | ${course.length || '–'} | ${minutes(course) || '–'} |`
  const of = (slides, name) => slides.filter(slide => slide.frontmatter.part === name)
  return [
    head,
    '|---|--:|--:|--:|--:|',
    ...parts.map(name => row(part(name), of(talk, name), of(course, name))),
    row(`**${all}**`, talk, course),
    '',
    rest(minutes(course.filter(slide => slide.frontmatter.demo)), minutes(course.filter(slide => slide.frontmatter.optional))),
    '',
  ].join('\n')
}

for (const words of Object.values(WORDS)) {
  const path = join(ROOT, '../docs', words.file)
  const text = await readFile(path, 'utf8')
  const wanted = text.replace(MARK, (_, start, end) => `${start}${table(words)}${end}`)
  if (!MARK.test(text))
    problem(`docs/${words.file} has no place for the minutes`)
  else if (process.argv.includes('--check') && wanted !== text)
    problem(`docs/${words.file}: the minutes are others now: run scripts/slides minutes`)
  else
    await writeFile(path, wanted)
}

for (const { frontmatter, title } of course) {
  if (frontmatter.minutes === undefined && frontmatter.part !== APPENDIX)
    problem(`${title}: no minutes in its front matter`)
}
for (const { lacks, title } of talk.filter(slide => slide.lacks))
  problem(`${title}: there is no recording ${lacks}`)
const [fits, says] = [sum(talk) / 60, `${Math.round(sum(course) / 60)}min`]
if (fits < SHORTEST || fits > LONGEST)
  problem(`the talk takes ${clock(sum(talk))}, and should take ${SHORTEST} to ${LONGEST} minutes`)
if (course.headmatter.duration !== says)
  problem(`slides.md says duration: ${course.headmatter.duration}, its slides ${says}`)

for (const what of problems) console.error(what)
console.log(`talk: ${talk.length} slides, ${clock(sum(talk))}; course: ${course.length} slides, ${minutes(course)} minutes; ${problems.length} problems`)
process.exit(problems.length ? 1 : 0)
