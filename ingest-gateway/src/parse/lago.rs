//! Events in Lago's form: the contract's members, a time that may be seconds since 1970 or absent, and null for what is absent
//! (its clients send every member).

use super::epoch::lago_time;
use super::event::{Dialect, EventReader};
use super::problem::{Field, Flaw};
use super::scan::{Kind, Scan};

pub(super) struct Lago;

impl Dialect for Lago {
    #[inline]
    fn field(name: &str) -> Option<Field> {
        Field::named(name)
    }

    #[inline]
    fn member(reader: &mut EventReader<'_, '_>, field: Field) -> Scan<()> {
        match field {
            Field::Code => {
                reader.draft.code = reader.name_text()?.unwrap_or_default();
                Ok(())
            }
            Field::Timestamp => timestamp(reader),
            Field::Properties if reader.scanner.kind() == Kind::Null => reader.scanner.value().map(drop),
            Field::Properties => reader.properties(),
            _ => reader.shared_member(field),
        }
    }

    #[inline]
    fn check(reader: &mut EventReader<'_, '_>) {
        reader.require(&[Field::TransactionId, Field::Code]);
        reader.require_somebody(Field::ExternalSubscriptionId, Flaw::Nobody);
    }
}

#[inline]
fn timestamp(reader: &mut EventReader<'_, '_>) -> Scan<()> {
    match reader.scanner.kind() {
        // The draft holds "now" already.
        Kind::Null => return reader.scanner.value().map(drop),
        Kind::Number => {
            let text = reader.scanner.number()?;
            reader.take_time(lago_time(text));
        }
        Kind::String => {
            let text = reader.scanner.string()?.decode()?;
            reader.take_time(lago_time(&text));
        }
        _ => return reader.refuse(Flaw::NotAnEpoch),
    }
    Ok(())
}
