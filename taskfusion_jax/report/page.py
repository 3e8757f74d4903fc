"""The page of a report: its HTML as a Jinja template, its style inside it."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --ink: #1b1f24; --soft: #626b77; --line: #dfe2e0; --panel: #f2f3ef;
  --better: #00704e; --worse: #b0400b; --sheet: #fff;
  --prose: Charter, "Bitstream Charter", "Iowan Old Style", Cambria, Georgia, serif;
  --plain: system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  --code: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181c; --ink: #e4e6e8; --soft: #98a1ac; --line: #30353c; --panel: #1d2126;
    --better: #4fc79b; --worse: #f0945c; --sheet: #f4f4f2;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: clamp(1.5rem, 5vw, 4.5rem) clamp(1rem, 4vw, 3rem); max-width: 82rem;
  background: var(--paper); color: var(--ink); font: 1.0625rem/1.6 var(--prose);
  text-rendering: optimizeLegibility; -webkit-text-size-adjust: 100%;
}
p, h1, h2 { max-width: 44rem; margin: 0; text-wrap: pretty; }
h1 { font-size: clamp(2.2rem, 5vw, 3.2rem); line-height: 1.1; font-weight: 600; }
h1, h2 { letter-spacing: -0.015em; overflow-wrap: anywhere; }
h2 { font-size: 1.5rem; line-height: 1.25; font-weight: 600; }
header p { margin-top: 1.2rem; font-size: 1.2rem; line-height: 1.55; }
section { margin-top: clamp(2.5rem, 5vw, 4rem); }
.whole { white-space: nowrap; }
.soft, small { color: var(--soft); }
.label { font: 600 0.8rem/1.4 var(--plain); letter-spacing: 0.07em; text-transform: uppercase;
  color: var(--soft); margin-bottom: 0.6rem; }

.scroll { overflow-x: auto; margin-top: 1.4rem; }
table { border-collapse: collapse; font: 0.92rem/1.4 var(--plain);
  font-variant-numeric: tabular-nums lining-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.5rem; }
th, td { padding: 0.42rem 0 0.42rem 1.8rem; text-align: right; white-space: nowrap; }
th.name { text-align: left; font-weight: 400; padding: 0.42rem 1rem 0.42rem 0; }
thead th, thead th.name { font-weight: 500; color: var(--soft);
  border-bottom: 1px solid var(--ink); }
tbody tr + tr { border-top: 1px solid var(--line); }
tbody tr.more, tbody tr.more th:first-child { border-top-color: transparent; }
tbody tr:last-child { border-bottom: 1px solid var(--line); }
td small { font-size: 0.86em; margin-left: 0.35em; }
.better { color: var(--better); } .worse { color: var(--worse); } .best { font-weight: 700; }
.legend { font: 0.85rem/1.5 var(--plain); margin-top: 0.9rem; }

figure { margin: 0; display: flex; flex-wrap: wrap; gap: 1.2rem 2.5rem; align-items: flex-start; }
figcaption { flex: 1 1 20rem; max-width: 44rem; }
figcaption p { margin-top: 0.6rem; }
.zoom { display: block; max-width: 100%; cursor: zoom-in; }
.zoom input { position: absolute; opacity: 0; pointer-events: none; }
.zoom img { display: block; width: 100%; height: auto; background: var(--sheet); }
.sheet { display: block; border: 1px solid var(--line); border-radius: 6px; overflow: hidden; }
.zoom input:focus-visible + .sheet { outline: 3px solid #0072b2; outline-offset: 2px; }
.zoom input:checked + .sheet { position: fixed; inset: 0; z-index: 1; overflow: auto;
  border: 0; border-radius: 0; background: var(--sheet); cursor: zoom-out; }
.zoom input:checked + .sheet img { width: auto; min-width: 100%; max-width: none; }

pre { font: 0.84rem/1.55 var(--code); background: var(--panel); border-radius: 6px;
  margin: 1rem 0 0; padding: 1rem 1.2rem; white-space: pre-wrap; overflow-wrap: anywhere; }
details { margin-top: 1.6rem; }
summary { cursor: pointer; font: 500 0.95rem var(--plain); }
@media (max-width: 40rem) { th.name { white-space: normal; } th, td { padding-left: 1rem; } }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #555; --line: #ccc; --panel: #f4f4f4;
    --better: #00704e; --worse: #b0400b; --sheet: #fff; }
  body { padding: 0; font-size: 10pt; max-width: none; }
  figure, tr, pre { break-inside: avoid; } h2 { break-after: avoid; } details { display: none; }
}
"""

PAGE = (
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{{ name }} · taskfusion_jax</title>
<style>"""
    + STYLE
    + """</style>
</head>
<body>
{% macro list(names) %}
{% for name in names %}
{{ "" if loop.first else " and " if loop.last else ", " }}<em>{{ name.replace("+", " + ") }}</em>
{%- endfor %}
{% endmacro %}
<header>
<div class="label">taskfusion_jax · {{ kind }}</div>
<h1>{{ name }}</h1>
{% if intro %}
<p>{{ intro }}</p>
{% elif single %}
<p>One network, trained for {{ single | length }} image task{{ "s" if single | length > 1 }}:
{{ list(single) }}
{%- if combined %}; and asked for {{ combined | length }} combination
{{- "s" if combined | length > 1 }}: {{ list(combined) }}{% endif %}.
Training took
{%- if steps is not none %} {{ "{:,}".format(steps) }} steps{% endif %}
{%- if duration %}{{ " and" if steps is not none }}
<span class="whole">{{ duration }}</span>{% endif %}
{%- if results.hardware %} on {{ results.hardware }}{% endif %}.
{% if results.data %}Measured on {{ results.data }}. {% endif %}
<span class="soft">
{%- if results.seed is not none %}Seed {{ results.seed }}. {% endif %}
{%- if results.commit %}Commit {{ results.commit[:12] }}.{% endif %}</span></p>
{% else %}
<p>Nothing has been measured yet; the page will fill up when the run is evaluated.</p>
{% endif %}
</header>

{% if grids %}
<section>
<h2>Results</h2>
{% for grid in grids %}
<div class="scroll"><table>
{% if grid.title %}<caption>{{ grid.title }}</caption>{% endif %}

<thead><tr>
{% for name in grid.names %}<th class="name" scope="col">{{ name }}</th>{% endfor %}

{% for heading in grid.headings %}<th scope="col">{{ heading }}</th>{% endfor %}

</tr></thead>
<tbody>
{% for names, cells in grid.rows %}
<tr{% if not names[0] %} class="more"{% endif %}>
{% for name in names %}<th class="name" scope="row">{{ name }}</th>{% endfor %}

{% for cell in cells %}
<td><span class="{{ cell.verdict }}{{ " best" if cell.best }}">{{ cell.text }}</span>
{%- if cell.baseline %}<small>({{ cell.baseline }})</small>{% endif %}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table></div>
{% endfor %}
<p class="legend soft">{{ legend }} <span class="better">Green</span> is better than doing
nothing, <span class="worse">orange</span> worse.</p>
</section>
{% endif %}

{% for figure in figures %}
<section>
<figure>
<figcaption><h2>{{ figure.title }}</h2>{% if figure.caption %}<p>{{ figure.caption }}</p>{% endif %}
</figcaption>
<label class="zoom" title="Click to enlarge or to go back"
 style="width: {{ figure.shown }}px; aspect-ratio: {{ figure.width }} / {{ figure.height }}">
<input type="checkbox" aria-label="Enlarge: {{ figure.title }}">
<span class="sheet"><img alt="{{ figure.title }}" width="{{ figure.width }}"
 height="{{ figure.height }}" src="data:image/jpeg;base64,{{ figure.data }}"></span>
</label>
</figure>
</section>
{% endfor %}

<section>
<h2>Do it again</h2>
{% if results.command %}
<pre>{% if results.commit %}git checkout {{ results.commit }}
{% endif %}{{ results.command }}</pre>
{% else %}
<p class="soft">The command is not known without results.json.</p>
{% endif %}
{% if config %}
<details><summary>Every setting of this run</summary><pre>{{ config }}</pre></details>
{% endif %}
{% if absent %}
<p class="legend soft">Not here yet: {{ absent | join(", ") }}.</p>
{% endif %}
</section>
</body>
</html>
"""
)
