//! The page's style sheet: two palettes, by the reader's own preference; no font and no script is fetched.

pub(super) const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6876; --line: #dfe4ea; --paper: #ffffff; --card: #f6f8fa;
  --base: #9aa7b5; --adapter: #2563c9; --good: #1a7f4b; --bad: #b3342d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ef; --soft: #98a4b3; --line: #303944; --paper: #14191f;
  --card: #1c232b; --base: #6b7886; --adapter: #6ea1f2; --good: #54c08a; --bad: #ee7f77; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 3rem 1.5rem 5rem; }
h1, h2, h3, h4, summary { overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.2rem; margin: 3rem 0 .8rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; }
h4 { font-size: .95rem; margin: .2rem 0 .4rem; }
p { margin: .4rem 0; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; margin: 1.6rem 0 0; }
a { color: var(--adapter); text-underline-offset: .2em; }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--adapter); outline-offset: 3px; border-radius: .2rem; }
.soft { color: var(--soft); }
.badge { display: inline-block; padding: .15rem .7rem; border-radius: 1rem; font-weight: 600; font-size: .9rem;
  border: 1px solid currentColor; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem; margin: 1.8rem 0 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem 1.1rem; }
.card .figure { font-size: 1.6rem; font-weight: 650; line-height: 1.3; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .45rem .9rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--soft); font-size: .88rem; }
td.number, th.number { text-align: right; }
th[scope=row] { font-weight: 400; color: var(--ink); font-size: 1rem; }
.chart { overflow-x: auto; }
svg { display: block; width: 100%; min-width: 30rem; height: auto; }
svg text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: var(--ink); }
svg .tick { fill: var(--soft); font-size: 12px; }
details { border: 1px solid var(--line); border-radius: .6rem; padding: .7rem 1.1rem; margin: .7rem 0; }
summary { cursor: pointer; font-weight: 600; }
.numbers { border: 0; padding: 0; margin: .2rem 0 .8rem; }
.numbers > summary { font-weight: 400; font-size: .88rem; color: var(--soft); }
.example > summary .soft { font-weight: 400; }
.answer { min-width: 0; }
.name { margin: .7rem 0 0; font-size: .88rem; }
mark { color: var(--bad); background: color-mix(in srgb, var(--bad) 18%, transparent); font-weight: 700;
  border-radius: .15rem; }
.answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; margin-top: .8rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .7rem .9rem; margin: .4rem 0;
  overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.5 ui-monospace, Consolas, monospace; }
.pieces { color: var(--soft); }
.pieces .content { color: var(--ink); }
.pieces .control { color: var(--adapter); }
.pieces .trained { color: var(--good); background: color-mix(in srgb, var(--good) 14%, transparent); }
.pieces .trained.control { font-weight: 700; }
code { font: 13px ui-monospace, Consolas, monospace; overflow-wrap: anywhere; }
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --line: #ccc; --paper: #fff; --card: #fff; --base: #9aa7b5;
    --adapter: #2563c9; --good: #1a7f4b; --bad: #b3342d; }
  body { font-size: 11pt; } main { max-width: none; padding: 0; } nav, .numbers { display: none; }
  .chart, tr, .card { break-inside: avoid; } h2, h3, h4 { break-after: avoid; }
  details::details-content { content-visibility: visible; height: auto; }
  rect, mark { print-color-adjust: exact; }
}
";
