//! Route list, from which both the router and the OpenAPI description are made.

use crate::{Deps, apps, billing, blocks, files, links, numbers, profile, samples, templates};

shared::routes! {
    of Deps;
    put "/v1/conversations/{id}/block" => blocks::block,
    delete "/v1/conversations/{id}/block" => blocks::unblock,
    post "/v1/numbers" => numbers::add,
    get "/v1/numbers/{id}/webhook" => numbers::webhook,
    get "/v1/numbers/{id}/profile" => profile::get,
    patch "/v1/numbers/{id}/profile" => profile::change,
    put "/v1/numbers/{id}/profile/picture" => profile::picture,
    get "/v1/numbers/{id}/links" => links::list,
    post "/v1/numbers/{id}/links" => links::create,
    patch "/v1/numbers/{id}/links/{link}" => links::change,
    delete "/v1/numbers/{id}/links/{link}" => links::delete,
    get "/v1/numbers/{id}/files/{file}" => files::get,
    get "/v1/apps/{id}" => apps::get,
    put "/v1/apps/{id}" => apps::put,
    get "/v1/accounts" => templates::accounts,
    get "/v1/accounts/{id}/billing" => billing::get,
    get "/v1/accounts/{id}/templates" => templates::list,
    post "/v1/accounts/{id}/templates" => templates::create,
    post "/v1/accounts/{id}/templates/refresh" => templates::refresh,
    post "/v1/accounts/{id}/templates/samples" => samples::upload,
    get "/v1/accounts/{id}/templates/{template}" => templates::get,
    patch "/v1/accounts/{id}/templates/{template}" => templates::edit,
    delete "/v1/accounts/{id}/templates/{template}" => templates::delete,
    post "/v1/accounts/{id}/templates/{template}/preview" => templates::preview,
}
