//! When each tool was called: tools by hours of the day, in numbers that a colour goes along with.

use maud::{Markup, html};
use serde_json::Value;

use super::words::{at, words};

/// How many shades there are for what is more than nothing.
const SHADES: u64 = 4;

/// In how many tasks each tool was called in each hour. `name` tells this picture from others on the page.
pub(super) fn heat(baseline: &Value, name: &str) -> Markup {
    let heat = at(baseline, "/heat").as_object();
    let tools = || heat.into_iter().flatten().map(|(tool, hours)| (tool, counts(hours)));
    let most = tools().flat_map(|(_, counts)| counts).max().unwrap_or(0);
    html! { @if most > 0 {
        h3 id={ (name) "-heat" } { "Tools by hour of the day, UTC" }
        div.scroll tabindex="0" role="region" aria-labelledby={ (name) " " (name) "-heat" } {
            table.heat {
                thead { tr { th scope="col" { "Tool" } @for hour in 0..24 { th scope="col" { (format!("{hour:02}")) } } } }
                tbody { @for (tool, counts) in tools() { tr {
                    th scope="row" { (words(tool)) }
                    @for count in counts { td data-heat=(shade(count, most)) {
                        @if count == 0 { span.unseen { "0" } } @else { (count) }
                    } }
                } } }
            }
        }
        p.under { "In how many tasks each tool was called within each hour, " (most) " at most. An empty hour is none." }
    } }
}

/// One for each hour of the day.
fn counts(hours: &Value) -> Vec<u64> {
    let hours = hours.as_array().map_or(&[][..], Vec::as_slice);
    (0..24).map(|hour| hours.get(hour).and_then(Value::as_u64).unwrap_or(0)).collect()
}

/// Nothing has no shade; what is most has the deepest.
fn shade(count: u64, most: u64) -> u64 {
    (count * SHADES).div_ceil(most.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_has_the_shade_of_its_share_of_the_busiest_and_none_without_a_task() {
        assert_eq!([0, 1, 20, 21, 40, 60, 61, 80].map(|count| shade(count, 80)), [0, 1, 1, 2, 2, 3, 4, 4]);
        assert_eq!([shade(0, 1), shade(1, 1)], [0, 4]);
    }
}
